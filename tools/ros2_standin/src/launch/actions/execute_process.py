"""Run a command."""

from __future__ import annotations

from collections.abc import Iterable

from ..executable import Executable, SomeEnvironment
from ..some_substitutions_type import SomeSubstitutionsType
from ..substitution import Substitution
from .execute_local import ExecuteLocal


class ExecuteProcess(ExecuteLocal):
    """Run a command; each part may be a text, a substitution or a list of both."""

    def __init__(
        self,
        *,
        cmd: Iterable[SomeSubstitutionsType],
        prefix: SomeSubstitutionsType | None = None,
        name: SomeSubstitutionsType | None = None,
        cwd: SomeSubstitutionsType | None = None,
        env: SomeEnvironment | None = None,
        additional_env: SomeEnvironment | None = None,
        **kwargs,
    ) -> None:
        description = Executable(
            cmd=cmd, prefix=prefix, name=name, cwd=cwd, env=env, additional_env=additional_env
        )
        super().__init__(process_description=description, **kwargs)

    @property
    def name(self) -> str | None:
        """The unique name, once prepared."""
        if self.process_description.final_name is not None:
            return self.process_description.final_name
        return self.process_description.name

    @property
    def cmd(self) -> list:
        """The command: texts once prepared, substitutions before."""
        if self.process_description.final_cmd is not None:
            return self.process_description.final_cmd
        return self.process_description.cmd

    @property
    def cwd(self) -> str | list[Substitution] | None:
        """Working directory."""
        return self.process_description.final_cwd or self.process_description.cwd

    @property
    def env(self) -> dict | list | None:
        """Environment: a dict once prepared."""
        return self.process_description.final_env or self.process_description.env

    def describe(self) -> str:
        parts = ["".join(sub.describe().strip("'") for sub in part) for part in self.process_description.cmd]
        return f"{type(self).__name__}(cmd={parts})"
