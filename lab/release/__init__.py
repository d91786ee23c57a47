"""The stand-in Harbor release: what the lab deploys where the genuine one cannot be had.

`python3 -m lab.release` is the command line, `docs/stand-in.md` the page for people.  The parts:

    standin/     what runs inside the containers (Python, shell, configuration)
    installer/   what lies beside the images in the tarball (install.sh, prepare, ...)
    rootfs.py    the one root file system that all images share, from Debian's packages
    images.py    which images a version has, and how each is started
    archive.py   docker-archive files, written without a Docker engine
    bundle.py    the offline installer of one version
    publish.py   files in the folder of releases, with their checksums
    traefik.py   the genuine Traefik binary in an image
    upstream.py  small images for a registry that plays the upstream
"""
