"""What people run beside the daemon: replay, demo, waterfalls, the health check."""
