"""The composition root: joins receivers, pipeline and exporters into one process."""
