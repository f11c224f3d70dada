"""What several lessons share. A lesson imports from here; nothing here imports a lesson."""
