"""Only what pyproject.toml can't say: the skills stand at the root of the repository, where people and agent tools look
for them, and belong into the package when it is built."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

SKILLS = Path(__file__).parent / "skills"


class BuildWithSkills(build_py):
    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            shutil.copytree(SKILLS, Path(self.build_lib) / "bluegreen" / "skills", dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithSkills})
