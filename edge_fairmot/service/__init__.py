"""Optional services around a run: a page, a broker, recordings. Nothing else imports them."""
