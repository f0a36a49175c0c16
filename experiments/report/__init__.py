"""Self-contained HTML reports: pages, figures, templates."""
