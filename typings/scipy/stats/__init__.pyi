import numpy as np

def rankdata(a: np.ndarray, *, axis: int | None = ...) -> np.ndarray: ...

class _StudentizedRange:
    def ppf(self, q: float, k: float, df: float) -> float: ...

studentized_range: _StudentizedRange
