"""What runs inside the containers of the stand-in Harbor release.

This package is copied to /opt/stand-in in every image and started as
`python3 -m lab.release.standin.ROLE`; it imports nothing from the rest of the project.
"""
