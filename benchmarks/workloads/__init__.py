"""What is measured: one module each."""

from __future__ import annotations

from benchmarks.workloads.base import Workload
from benchmarks.workloads.batch import Batch
from benchmarks.workloads.crowd import CrowdedBatch
from benchmarks.workloads.git import Git
from benchmarks.workloads.large import Large
from benchmarks.workloads.memory import Memory
from benchmarks.workloads.processor import Processor
from benchmarks.workloads.s3 import S3Batch
from benchmarks.workloads.tus import Tus

#: All of them, in the order in which they run.
WORKLOADS: tuple[Workload, ...] = (
    Batch(),
    Processor(),
    Large(),
    Tus(),
    CrowdedBatch(),
    Memory(),
    S3Batch(),
    Git(),
)
