"""The dashboards as code: one module a dashboard, over shared queries, panels and variables."""
