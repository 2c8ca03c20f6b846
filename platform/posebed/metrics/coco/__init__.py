"""OKS, the matches of COCO's evaluation, and precision and recall from them."""
