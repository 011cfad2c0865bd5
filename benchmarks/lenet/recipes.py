"""What was chosen for each network, on the validation images only."""

from benchmarks.lenet.compress import Recipe
from benchmarks.lenet.data import Augmentation
from thimble.training import ScheduleConfig

__all__ = ["RECIPES"]

# LeNet-300-100 pruned to 95 %, seed 1, validation: 1.56 % with FAR, 1.20 % with NEAR.
FAR = Augmentation(shift=2.0, rotation=8.0, scale=0.08)
NEAR = Augmentation(shift=1.0, rotation=5.0, scale=0.05)

RECIPES = {
    "lenet300": Recipe(
        network="lenet300",
        sparsity={"ip1": 0.96, "ip2": 0.935, "ip3": 0.6},
        codebook={"ip1": 8, "ip2": 16, "ip3": 16},
        soft_share=0.5,
        augmentations={"train": FAR, "prune": NEAR, "quantize": NEAR},
        schedules={
            "train": ScheduleConfig(12000, 128, 2e-3, 500),
            "prune": ScheduleConfig(16000, 128, 2e-3, 500),
            "quantize": ScheduleConfig(1200, 128, 5e-4, 200),
        },
    ),
    "lenet5": Recipe(
        network="lenet5",
        sparsity={"conv1": 0.4, "conv2": 0.9, "ip1": 0.981, "ip2": 0.8},
        codebook={"conv1": 16, "conv2": 16, "ip1": 8, "ip2": 16},
        soft_share=0.5,
        augmentations={"train": FAR, "prune": NEAR, "quantize": NEAR},
        schedules={
            "train": ScheduleConfig(9000, 64, 1e-3, 500),
            "prune": ScheduleConfig(9000, 64, 1.5e-3, 500),
            "quantize": ScheduleConfig(500, 64, 5e-4, 250),
        },
    ),
}
