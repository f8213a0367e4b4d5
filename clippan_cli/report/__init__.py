"""The page of an assessment: from typed content to one self-contained HTML file; knows no files and no tensors."""
