"""What is asked of every order before anything is held or queued: a module for each kind of rule."""
