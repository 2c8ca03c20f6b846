"""Label files of other tools: each module reads one format into ``labels.Labels``, and some write it."""
