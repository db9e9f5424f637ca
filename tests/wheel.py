"""Build the sdist and the wheel, and try them in empty environments: ``make wheel``.

The wheel is built from the sdist, so both are complete. It is installed for each supported Python version that is
on the PATH, away from the checkout. The steps of docs/deploy/Containerfile run in a directory of their own.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "wheel"
DIST = ROOT / "dist"
CONSTRAINTS = ROOT / "constraints.txt"
CLASSIFIER = "Programming Language :: Python :: "
IMPORTS = """
import sys
import enireconcile, enireconcile.aws_lambda
[spec] = enireconcile.load(sys.argv[1])
assert spec.document.stack == "two-enis"
assert "site-packages" in enireconcile.__file__, enireconcile.__file__
assert "rich" not in sys.modules
"""


def say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


def run(*command: str | Path, cwd: Path = BUILD, **variables: str) -> str:
    """Run a command; its stdout. Ends the program if it fails."""
    environment = {
        **os.environ,
        "PIP_CONSTRAINT": str(CONSTRAINTS),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        **variables,
    }
    ran = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    if ran.returncode:
        sys.exit(f"{' '.join(map(str, command))}: exit code {ran.returncode}\n{ran.stdout}{ran.stderr}")
    return ran.stdout


def build() -> tuple[Path, Path]:
    """The sdist and, built from it, the wheel."""
    for folder in (BUILD, DIST):
        shutil.rmtree(folder, ignore_errors=True)
    BUILD.mkdir(parents=True)
    tools = environment("tools", sys.executable)
    run(tools / "pip", "install", "--quiet", "build")
    run(tools / "python", "-m", "build", "--outdir", DIST, ROOT)
    [sdist], [wheel] = DIST.glob("*.tar.gz"), DIST.glob("*.whl")
    return sdist, wheel


def environment(name: str, python: str) -> Path:
    """The folder of the programs of a new, empty environment."""
    run(python, "-m", "venv", BUILD / name)
    return BUILD / name / "bin"


def missing(sdist: Path, wheel: Path) -> list[str]:
    """What is wrong with the contents."""
    package = {str(path.relative_to(ROOT)) for path in (ROOT / "enireconcile").rglob("*") if path.is_file()}
    package = {name for name in package if "__pycache__" not in name}
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    with tarfile.open(sdist) as tar:
        sources = {name.partition("/")[2] for name in tar.getnames()}
    wanted = {
        "pyproject.toml",
        "constraints.txt",
        "Makefile",
        "CHANGELOG.md",
        "LICENSE",
        "README.md",
        "tests/wheel.py",
    }
    return [
        *(f"not in the wheel: {name}" for name in sorted(package - names)),
        *(f"in the wheel, but not of the package: {name}" for name in sorted(names - package)),
        *(f"not in the sdist: {name}" for name in sorted((package | wanted) - sources)),
        *([] if "enireconcile/py.typed" in names else ["not in the wheel: enireconcile/py.typed"]),
    ]


def supported() -> list[str]:
    """The Python versions that pyproject.toml names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return [line.removeprefix(CLASSIFIER) for line in project["classifiers"] if line.startswith(CLASSIFIER)]


def works(python: str) -> bool:
    """Whether there is such a program, and it is more than a shim that starts nothing."""
    return (
        bool(shutil.which(python))
        and not subprocess.run([python, "-c", "pass"], capture_output=True, check=False).returncode
    )


def tried(version: str, wheel: Path) -> None:
    """Install the wheel into an empty environment, and run what it installs."""
    programs = environment(f"empty-{version}", f"python{version}")
    run(programs / "pip", "install", "--quiet", wheel)
    run(programs / "pip", "check")
    spec = ROOT / "specs" / "two-enis.yaml"
    said = run(programs / "enireconcile", "--version").strip()
    run(programs / "enireconcile", "validate", spec)
    run(programs / "python", "-W", "error", "-c", IMPORTS, spec)
    say(f"{said}: works on Python {version}")


def steps(containerfile: str) -> Iterator[tuple[str, str]]:
    """COPY and RUN of the stage that builds, with their arguments."""
    joined = containerfile.replace("\\\n", " ")
    yield from re.findall(r"^(COPY|RUN) (?!--from)(.*)$", joined, re.MULTILINE)


def try_image() -> None:
    """Do what the Containerfile does, with a folder in the place of /, and start its entry point."""
    text = (ROOT / "docs" / "deploy" / "Containerfile").read_text("utf-8")
    root = BUILD / "image"
    source = root / "src"
    source.mkdir(parents=True)
    for verb, words in steps(text):
        if verb == "COPY":
            *sources, target = words.split()
            for name in sources:
                copy(ROOT / name, source / target / name if target.endswith("/") else source / target)
        else:
            run(
                "sh",
                "-ec",
                words.replace("/opt/", f"{root}/opt/"),
                cwd=source,
                PIP_QUIET="1",
                **only(sys.executable),
            )
    [entry] = re.findall(r'^ENTRYPOINT \["(.*)"\]$', text, re.MULTILINE)
    bare = {"PATH": f"{root}/opt/enireconcile/bin", "PYTHONDONTWRITEBYTECODE": "1", "HOME": "/nonexistent"}
    said = subprocess.run(
        [f"{root}{entry}", "--version"], env=bare, capture_output=True, text=True, check=True
    ).stdout
    say(f"{said.strip()}: works as the Containerfile installs it")


def copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def only(python: str) -> Mapping[str, str]:
    """A PATH on which `python` is this one."""
    folder = BUILD / "python"
    folder.mkdir()
    (folder / "python").symlink_to(Path(python).resolve())
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def main() -> None:
    sdist, wheel = build()
    if wrong := missing(sdist, wheel):
        sys.exit("\n".join(wrong))
    present = [version for version in supported() if works(f"python{version}")]
    for version in present:
        tried(version, wheel)
    for version in supported():
        if version not in present:
            say(f"not tried: python{version} is not on the PATH")
    if not present:
        sys.exit("none of the supported Python versions is on the PATH")
    try_image()
    say(f"built {sdist.relative_to(ROOT)} and {wheel.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
