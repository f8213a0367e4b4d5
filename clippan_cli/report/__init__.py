"""Reports: typed content collected from results, rendered by `pages`, and written; and the quicklook."""
