"""Quality of fused images: indices, baselines, Wald's protocol, and what they come to."""
