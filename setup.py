"""What pyproject.toml cannot say: a wheel carries the page, and the chart library that npm has brought."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
UPLOT = ROOT / "node_modules" / "uplot"


class BuildWithPage(build_py):
    """Puts `static/` and uPlot beside the service's modules, where `service/web/page_files.py` looks first."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return  # a checkout is served from where things are
        if not UPLOT.is_dir():
            raise SystemExit("a wheel carries the chart library: run `npm ci` first")
        service = Path(self.build_lib, "service")
        shutil.copytree(ROOT / "static", service / "static", dirs_exist_ok=True)
        vendor = service / "vendor" / "uplot"
        vendor.mkdir(parents=True, exist_ok=True)
        for file in ("dist/uPlot.esm.js", "dist/uPlot.min.css", "LICENSE"):
            shutil.copy(UPLOT / file, vendor)


setup(cmdclass={"build_py": BuildWithPage})
