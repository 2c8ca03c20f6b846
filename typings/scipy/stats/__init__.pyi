import numpy as np

def rankdata(a: np.ndarray, *, axis: int | None = ...) -> np.ndarray: ...

class _StudentT:
    def ppf(self, q: float, df: float) -> float: ...

class _StudentizedRange:
    def ppf(self, q: float, k: float, df: float) -> float: ...

t: _StudentT
studentized_range: _StudentizedRange
