"""`python -m bot bench batching [--json]`: what it is worth to draw different people's pictures together.

The painter is measured in a process of its own (`generation/painter/bench_batching.py`), and then orders are served in
the times that were measured, by a clock that is only counted. Keys of the JSON object:

- `ratio_mixed_orders`: eight orders of four people, two with LoRAs, two with other guidance: images a second of the
  painter with the batches that the queue makes of them, over those of plain diffusers, which serves each order by
  itself and loads its LoRA for it; `ratio_mixed_orders_loras_kept`: over plain diffusers that keeps its LoRAs loaded.
  `ratio_orders_alone`: the painter with each order in a batch by itself. `plain_images_per_second`,
  `mixed_images_per_second`; `batches`: how many pictures were in each.
- `max_mean_difference`: of these pictures and plain diffusers', the largest mean difference of two, in 255ths.
- `batch_seconds`: what a batch of so many pictures takes, by their number.
- `curve`: for each arrival rate (`images_per_second`, as much as `load` of what full batches could serve) and each way
  of serving the `throughput` in images a second, `p50` and `p99` in seconds from an order to its pictures, and how many
  pictures a pass had (`in_a_pass`). The ways: `alone` (each order in a batch by itself), `batches`, `waiting` (and an
  idle worker waits `wait_seconds` for company), `joining` (whoever comes joins a running batch at its next step).
"""
