"""Files on disk: ours are written so that no kill or power cut leaves half of one."""
