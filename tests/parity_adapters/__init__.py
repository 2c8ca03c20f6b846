"""From the folders of reference numbers to our models: one module per folder, with what our code gives for its cases.

A module has ``outputs(case)``, everything that our model gives for a case of ``spec.json`` by the reference's names,
and ``UNCOVERED``, the names that stay unchecked, with the reason beside them. Some have ``functions``, the same for
``functions.json``. Settings are read from these files, so that other seeds, sizes and numbers of keypoints need no new
code.
"""
