"""Settings of the networks of a latent diffusion model, the autoencoder and the denoiser of its latents."""

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from spikeloom.diffusion.schedule import Prediction
from spikeloom.errors import SettingError
from spikeloom.nn.encoder import Decoder, Encoder
from spikeloom.nn.stack import Backbone
from spikeloom.settings import STRICT


@dataclass(frozen=True, config=STRICT)
class AutoencoderSettings:
    """Networks and losses of the first stage.

    Args:
        width: Channels of encoder and decoder; a multiple of `n_latents`.
        blocks: Residual blocks of the encoder.
        bidirectional: Whether latents may depend on later bins; False makes the encoder causal.
        mixed: Whether latents interact in the decoder; False is the additive decoder of the paper.
        dropout: Probability p that coordinated dropout hides an entry (one neuron in one bin) from the encoder.
        most_dropout: Largest p. For each trial of a batch, p is drawn uniformly between `dropout` and `most_dropout`;
            an encoder that is trained with gaps of any size overfits less. `None` uses `dropout` for all trials.
        kept: Weight of the loss on entries that were not hidden; 0 in the paper.
        energy: Weight beta_1 of the squared latents.
        smoothness: Weight beta_2 of the squared changes of the latents over one to five bins.
        calibrate: Whether inferred and generated rates are calibrated; the paper does not calibrate them.
    """

    width: Annotated[int, Field(ge=1)] = 64
    blocks: Annotated[int, Field(ge=0)] = 4
    bidirectional: bool = True
    mixed: bool = False
    dropout: Annotated[float, Field(gt=0, lt=1)] = 0.3
    most_dropout: Annotated[float | None, Field(gt=0, lt=1)] = None
    kept: Annotated[float, Field(ge=0)] = 0.0
    energy: Annotated[float, Field(ge=0)] = 0.001
    smoothness: Annotated[float, Field(ge=0)] = 0.02
    calibrate: bool = True

    def __post_init__(self) -> None:
        if self.most_dropout is not None and self.most_dropout <= self.dropout:
            raise SettingError(
                "most_dropout must be larger than dropout, the lower end of the range.",
                f"dropout is {self.dropout:g} and most_dropout is {self.most_dropout:g}.",
                "Write for example dropout=0.1 and most_dropout=0.8.",
            )

    def encoder(self, n_neurons: int, n_latents: int) -> Encoder:
        """Make the encoder, counts -> latents."""
        return Encoder(
            n_neurons, n_latents=n_latents, width=self.width, blocks=self.blocks, bidirectional=self.bidirectional
        )

    def decoder(self, n_neurons: int, n_latents: int) -> Decoder:
        """Make the decoder, latents -> drive of each neuron."""
        return Decoder(n_latents, n_neurons, width=self.width, mixed=self.mixed)


@dataclass(frozen=True, config=STRICT)
class DenoiserSettings:
    """Network and loss of the second stage.

    Args:
        width: Channels.
        blocks: Residual blocks.
        bidirectional: Whether the state-space layers read the bins in both directions.
        prediction: Target of the network: "noise", "clean" or "velocity".
        huber: Width of the smooth L1 loss, in units of the target's sd. `None` selects the squared error.
        clip: Clip standardised latents to ± this many sd before training. `None` disables clipping.
        drop: Fraction of trials whose condition is withheld in training, so that the same network can also sample
            unconditionally and with guidance.
    """

    width: Annotated[int, Field(ge=1)] = 64
    blocks: Annotated[int, Field(ge=1)] = 4
    bidirectional: bool = True
    prediction: Prediction = "velocity"
    huber: Annotated[float | None, Field(gt=0)] = None
    clip: Annotated[float | None, Field(gt=0)] = None
    drop: Annotated[float, Field(gt=0, lt=1)] = 0.15

    def network(self, n_latents: int, vector_size: int, sequence_size: int) -> Backbone:
        """Make the network, for conditions of these sizes per trial and per bin; 0 means no condition."""
        return Backbone(
            n_latents,
            width=self.width,
            blocks=self.blocks,
            bidirectional=self.bidirectional,
            vector=vector_size,
            sequence=sequence_size,
        )


@dataclass(frozen=True, config=STRICT)
class StudentSettings:
    """The student, a network that samples with a few evaluations; see `diffusion.student`.

    Args:
        steps: Evaluations of the network per sample.
        samples: Number of samples of the teacher; one in twenty is only used for validation.
    """

    steps: Annotated[int, Field(ge=1)] = 2
    samples: Annotated[int, Field(ge=20)] = 2000
