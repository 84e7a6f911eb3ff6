"""Colour autoencoder: a method with a stage of pre-training that has its own epochs, learning rate and loss."""

import torch

from aubench import Fidelity, Method, MethodCard, Recipe, Stage


class ColourRecipe(Recipe):
    """Recipe of the colour autoencoder."""

    pretrain_epochs: int = 1
    pretrain_learning_rate: float = 1e-3


class ColourAutoencoder(Method):
    """Linear layers on the mean colour of each modality, which pre-training restores."""

    Recipe = ColourRecipe
    card = MethodCard(title="Colour autoencoder", paper="None", fidelity=Fidelity.EXACT)

    def __init__(self, task, recipe):
        super().__init__(task, recipe)
        self.encoder = torch.nn.Linear(task.channels, 8)
        self.decoder = torch.nn.Linear(8, task.channels)
        self.head = torch.nn.Linear(8, len(task.aus))

    def stages(self):
        """Return the stage of pre-training, and the supervised stage of all methods."""
        pretraining = Stage("pretrain", self.recipe.pretrain_epochs, batch_size=64, pretraining=True)
        return (pretraining, *super().stages())

    def optimizer(self, stage):
        """Return the optimiser of a stage."""
        if stage.pretraining:
            return torch.optim.Adam(self.parameters(), self.recipe.pretrain_learning_rate)
        return super().optimizer(stage)

    def loss(self, batch, stage, progress):
        """Return the error of the restored colours in pre-training, and later the default loss."""
        if not stage.pretraining:
            return super().loss(batch, stage, progress)
        colours = self.colours(batch.inputs)
        return {"total": (self.decoder(self.encoder(colours)) - colours).square().mean()}

    def colours(self, inputs):
        """Return the mean colours (N, C) of the images of all modalities."""
        return torch.cat([inputs[m].mean((2, 3)) for m in self.task.modalities], 1)

    def forward(self, inputs):
        """Return the probabilities (N, A)."""
        return self.head(self.encoder(self.colours(inputs)).tanh()).float().sigmoid()
