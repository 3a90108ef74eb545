"""Which of an Augmenter's earlier reports the rows are compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tfx.dsl.components.common import resolver
from tfx.types import artifact

ADAPTED_PROPERTY = "adapted"


class LatestGuardedReport(resolver.ResolverStrategy):
    """A strategy for `tfx.dsl.Resolver`: the newest report of an Augmenter that compared or kept statistics.

    Where there is none, as in a pipeline's first run, it gives none, and the Augmenter runs without. TFX's
    LatestArtifactStrategy would stop the pipeline there.

    Example:
      previous = tfx.dsl.Resolver(
          strategy_class=LatestGuardedReport,
          reference=tfx.dsl.Channel(
              type=Statistics, producer_component_id="Augmenter", output_key="augmentation_report"
          ),
      ).with_id("PreviousReport")
    """

    def resolve_artifacts(
        self, store, input_dict: Mapping[str, Sequence[artifact.Artifact]]
    ) -> dict[str, list[artifact.Artifact]]:
        """The newest report of each channel, if there is one."""
        return {key: self._newest(reports) for key, reports in input_dict.items()}

    @staticmethod
    def _newest(reports: Sequence[artifact.Artifact]) -> list[artifact.Artifact]:
        guarded = [report for report in reports if report.has_custom_property(ADAPTED_PROPERTY)]
        return sorted(guarded, key=lambda report: report.id)[-1:]
