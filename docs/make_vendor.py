"""Write wattswap_mqtt/roles/bridge/dashboard/vendor/ anew: the dashboard's libraries, out of their npm packages.

Run by `make vendor`; needs npm.  The same versions give the same bytes.  What is done to a file, and why, stands in
`LIBRARIES`: names of packages become paths, because a page without inline scripts has no import map.
"""

import re
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

VENDOR = Path(__file__).parents[1] / "wattswap_mqtt" / "roles" / "bridge" / "dashboard" / "vendor"
PATHS = {
    '"preact"': '"./preact.js"',
    '"preact/hooks"': '"./hooks.js"',
    '"@preact/signals-core"': '"./signals-core.js"',
}

SOURCE_MAP = re.compile(r"//# sourceMappingURL=\S+")


@dataclass(frozen=True)
class Library:
    """One npm package: which of its files become which of ours, and what is appended to them."""

    package: str
    version: str
    licence: str
    purpose: str
    files: dict[str, str]
    appended: str = ""


LIBRARIES = (
    Library(
        "preact", "11.2.0", "MIT", "components",
        {"preact.js": "dist/preact.mjs", "hooks.js": "hooks/dist/hooks.mjs"},
    ),
    Library("htm", "3.1.1", "Apache-2.0", "HTML in JavaScript without a build", {"htm.js": "dist/htm.mjs"}),
    Library(
        "@preact/signals-core", "1.14.5", "MIT", "values that tell of their changes",
        {"signals-core.js": "dist/signals-core.mjs"},
    ),
    Library(
        "@preact/signals", "2.11.4", "MIT", "components that follow such values", {"signals.js": "dist/signals.mjs"},
    ),
    Library(
        "uplot", "1.6.32", "MIT", "charts",
        {"uplot.js": "dist/uPlot.iife.min.js", "uplot.css": "dist/uPlot.min.css"},
        appended="export default uPlot;\n",  # the minified build is a plain script
    ),
)  # fmt: skip

README = """\
# Vendored libraries

Written by `make vendor` (`docs/make_vendor.py`), out of the npm packages; not to be edited. Their licences
are in [LICENSES.txt](LICENSES.txt).

| package | version | licence | for | files |
| --- | --- | --- | --- | --- |
{rows}
"""


def main() -> None:
    """Fetch and write."""
    VENDOR.mkdir(exist_ok=True)
    rows, licences = [], []
    with tempfile.TemporaryDirectory() as directory:
        for library in LIBRARIES:
            with tarfile.open(_packed(library, directory)) as package:
                for ours, theirs in library.files.items():
                    (VENDOR / ours).write_text(_adapted(_read(package, theirs), ours, library), encoding="utf-8")
                licences.append(f"{library.package} {library.version}\n\n{_read(package, 'LICENSE').strip()}\n")
            files = ", ".join(library.files)
            rows.append(f"| {library.package} | {library.version} | {library.licence} | {library.purpose} | {files} |")
    (VENDOR / "LICENSES.txt").write_text(f"\n{'-' * 80}\n\n".join(licences), encoding="utf-8")
    (VENDOR / "README.md").write_text(README.format(rows="\n".join(rows)), encoding="utf-8")


def _packed(library: Library, directory: str) -> Path:
    spec = f"{library.package}@{library.version}"
    done = subprocess.run(
        ["npm", "pack", "--silent", spec], cwd=directory, check=True, stdout=subprocess.PIPE, text=True
    )
    return Path(directory) / done.stdout.split()[-1]


def _read(package: tarfile.TarFile, name: str) -> str:
    file = package.extractfile(f"package/{name}")
    if file is None:
        raise FileNotFoundError(name)
    return file.read().decode()


def _adapted(text: str, ours: str, library: Library) -> str:
    text = SOURCE_MAP.sub("", text).rstrip() + "\n"
    if ours.endswith(".js"):
        for name, path in PATHS.items():
            text = text.replace(f"from{name}", f"from{path}")
        text += library.appended
    return text


if __name__ == "__main__":
    main()
