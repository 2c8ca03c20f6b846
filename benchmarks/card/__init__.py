"""What ``accelerator.py`` measures of a device, part by part. Nothing here imports Ray.

- ``world``: built-in pictures, packs and experiments
- ``run_file``, ``calls``, ``entries``: a run as one file, calls that go on with it, and all that is measured
- ``proof_steps``, ``proof_compiled``, ``proof_training`` (``training``, ``same_draws``): the same numbers as on a CPU
- ``steps``, ``kernels``, ``traffic``, ``speeds``, ``answers``, ``largest``: how fast
- ``checkout``: the packages, where they are not installed
- ``table``, ``page``, ``history``: what is shown of it
"""

from card.checkout import made_usable

made_usable()
