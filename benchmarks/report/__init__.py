"""Results for people: one HTML page, and Markdown to paste."""
