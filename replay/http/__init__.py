"""Protocol replay: the requests of a session that a browser once made, sent again without a browser, for load."""
