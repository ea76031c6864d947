"""A real Home Assistant, installed once into a cache: `python tests/e2e/home_assistant/installation.py`.

It wants a newer Python than most machines have.  Where there is none, Debian's is unpacked beside the system, with its
C library: nothing is installed, and no rights are needed.  All that Home Assistant would otherwise fetch at its first
start is installed here too, so that a test needs no network.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

VERSION = "2026.11.0"
PYTHON = "python3.14"
DEBIAN_SUITE = "forky"
"""The release of Debian that has it."""
PACKAGES = (PYTHON, f"lib{PYTHON}-dev", "libstdc++6")
NOT_NEEDED = ("linux-libc-dev", "libc6-dev", "libc-dev-bin", "libc-gconv", "debconf")
"""Dependencies of the packages that are of no use when a program runs."""
INTEGRATIONS = ("mqtt", "energy", "recorder", "history", "automation", "blueprint", "lovelace", "hassio")
HERE = Path(__file__).parent


def cache() -> Path:
    """Where it is, or will be."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / f"wattswap-home-assistant-{VERSION}"


def interpreter() -> Path:
    """The Python that runs it."""
    return cache() / "venv" / "bin" / "python"


def is_installed() -> bool:
    return (cache() / "complete").exists()


def install() -> None:
    """Install it, unless it is there."""
    if is_installed():
        return
    began_s = time.monotonic()
    shutil.rmtree(cache(), ignore_errors=True)
    cache().mkdir(parents=True)
    python = shutil.which(PYTHON) or debian_python()
    say(f"Home Assistant {VERSION} on {python}")
    environment = cache() / "venv"
    run(tool("uv"), "venv", "--quiet", "--python", python, environment)
    pip("install", f"homeassistant=={VERSION}")
    wanted = run(interpreter(), HERE / "requirements.py", *INTEGRATIONS, output=True)
    (cache() / "requirements.txt").write_text(wanted)
    [constraints] = environment.glob("lib/python*/site-packages/homeassistant/package_constraints.txt")
    pip("install", "--constraint", constraints, "--requirement", cache() / "requirements.txt")
    (cache() / "complete").touch()
    say(f"ready after {time.monotonic() - began_s:.0f} s, in {cache()}")


def debian_python() -> Path:
    """Unpack Debian's Python, and let it find its own C library."""
    say(f"unpacking {PYTHON} of Debian {DEBIAN_SUITE}")
    root, work = cache() / "python", cache() / "apt"
    for folder in ("lists/partial", "archives/partial", "etc/apt.conf.d", "etc/preferences.d", "etc/sources.list.d"):
        (work / folder).mkdir(parents=True)
    (work / "status").touch()
    keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
    (work / "etc/sources.list").write_text(f"deb [signed-by={keys}] {mirror()} {DEBIAN_SUITE} main\n")
    options = {
        "Dir::Etc": work / "etc", "Dir::Etc::sourcelist": work / "etc/sources.list",
        "Dir::Etc::sourceparts": work / "etc/sources.list.d", "Dir::State": work, "Dir::State::lists": work / "lists",
        "Dir::State::status": work / "status", "Dir::Cache": work, "Dir::Cache::archives": work / "archives",
        "Acquire::Languages": "none", "Acquire::Retries": 3, "Debug::NoLocking": 1,
        **({"APT::Sandbox::User": "root"} if os.geteuid() == 0 else {}),
    }  # fmt: skip
    apt = ["apt-get", "-qq", *(word for name, value in options.items() for word in ("-o", f"{name}={value}"))]
    run(*apt, "update")
    run(*apt, "--yes", "--no-install-recommends", "--download-only", "install", *PACKAGES)
    for package in sorted((work / "archives").glob("*.deb")):
        if not package.name.startswith(NOT_NEEDED):
            run("dpkg-deb", "--extract", package, root)
    shutil.rmtree(work)
    [c_library] = root.glob("usr/lib/*/libc.so.6")
    [loader] = c_library.parent.glob("ld-linux*.so*")
    python = root / "usr/bin" / PYTHON
    # RPATH, not RUNPATH: it has to hold for the extension modules too
    run(
        *(tool("patchelf"), "--set-interpreter", loader),
        *("--force-rpath", "--set-rpath", c_library.parent, python),
    )
    headers = root / "usr/include"
    shutil.copy(headers / c_library.parent.name / PYTHON / "pyconfig.h", headers / PYTHON / "pyconfig.h")
    return python


def mirror() -> str:
    """Where this machine gets its packages from."""
    sites = run("apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages", output=True).split()
    return next((site for site in sites if "security" not in site), "http://deb.debian.org/debian")


def pip(*words: object) -> None:
    action, *rest = words
    run(tool("uv"), "pip", action, "--quiet", "--python", interpreter(), *rest)


def tool(name: str) -> Path:
    """A program of the environment that runs this."""
    return Path(sys.executable).parent / name


def run(*command: object, output: bool = False) -> str:
    words = [str(word) for word in command]
    done = subprocess.run(words, stdout=subprocess.PIPE if output else None, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(words)} failed")
    return done.stdout or ""


def say(text: str) -> None:
    sys.stdout.write(f"[home assistant] {text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    install()
