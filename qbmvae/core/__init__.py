"""The model without its face: torch and samplers only, no scvi-tools, no AnnData."""
