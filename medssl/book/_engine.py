"""A papermill engine that reports which cell it is at."""

from papermill.engines import NBClientEngine

__all__ = ["ReportingEngine"]


class ReportingEngine(NBClientEngine):
    """papermill's own engine, with a call of `report` before each cell."""

    @classmethod
    def execute_managed_notebook(cls, nb_man, kernel_name, report=None, **options):
        """Execute the notebook; `report` gets ``{"cell": number, "of": total}``."""
        start = nb_man.cell_start

        def reporting_start(cell, cell_index=None, **more):
            report({"cell": cell_index + 1, "of": len(nb_man.nb.cells)})
            start(cell, cell_index, **more)

        nb_man.cell_start = reporting_start
        super().execute_managed_notebook(nb_man, kernel_name, **options)
