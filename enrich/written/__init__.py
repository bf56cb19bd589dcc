"""What a run wrote, read again: its connections, the services these reached, and the records beside its logs."""
