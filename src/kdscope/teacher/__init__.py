"""Where the teacher's signal comes from, and what is done to it before a student sees it."""
