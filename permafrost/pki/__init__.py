"""The site's own certificate authority and its SSH key."""
