"""Options of the whole suite."""


def pytest_addoption(parser):
    parser.addoption("--write-golden", action="store_true", help="renew the golden files")
