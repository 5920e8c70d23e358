"""Work in several processes: Ray, devices, and processes of this machine."""
