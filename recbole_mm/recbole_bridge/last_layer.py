"""The last layer of RecBole's transformer, computed only at the position of a history that is read.

RecBole computes it at all positions, of which most models then take one by `gather_indexes`. It is put off here until
it is known what is read of it: `gather_indexes` computes it at the one position, all else computes the whole.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from recbole.model.layers import MultiHeadAttention, TransformerLayer
from torch import Tensor
from torch.nn import functional as F

from recbole_mm.recbole_bridge.later import Later


class LaterOutput(Later):
    """The output of a layer (B, L, d), at all positions."""

    layer: Any
    hidden: Tensor  # the layer's input (B, L, d)
    mask: Tensor  # of the attention

    @staticmethod
    def of(layer: Any, hidden: Tensor, mask: Tensor) -> LaterOutput:
        later: LaterOutput = LaterOutput.shaped(hidden.detach())
        later.layer, later.hidden, later.mask = layer, hidden, mask
        return later

    def compute(self) -> Tensor:
        output: Tensor = self.layer(self.hidden, self.mask)
        return output


def output_at(layer: Any, hidden: Tensor, mask: Tensor, position: Tensor) -> Tensor:
    """Return a transformer layer's output (B, d) at one position (B,) of its input (B, L, d)."""
    attention, history = layer.multi_head_attention, torch.arange(len(hidden), device=hidden.device)
    one = hidden[history, position].unsqueeze(1)  # (B, 1, d)
    mask = mask.expand(-1, -1, hidden.shape[1], -1)[history, :, position].unsqueeze(2)  # (B, 1, 1, L)
    query, key, value = (
        attention.transpose_for_scores(project(of)).transpose(1, 2)  # (B, heads, 1 or L, d / heads)
        for project, of in ((attention.query, one), (attention.key, hidden), (attention.value, hidden))
    )
    dropped = attention.attn_dropout.p if attention.training else 0.0
    context = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropped)
    mixed = attention.out_dropout(attention.dense(context.transpose(1, 2).flatten(2)))
    output: Tensor = layer.feed_forward(attention.LayerNorm(mixed + one))
    return output.squeeze(1)


def last_layer_later(forward: Any) -> Any:
    """Let the forward of RecBole's encoder put off its last layer."""

    @functools.wraps(forward)
    def wrapped(
        self: Any, hidden_states: Tensor, attention_mask: Tensor, output_all_encoded_layers: bool = True
    ) -> Any:
        last: Any = self.layer[-1] if len(self.layer) else None
        if type(last) is not TransformerLayer or type(last.multi_head_attention) is not MultiHeadAttention:
            return forward(self, hidden_states, attention_mask, output_all_encoded_layers)
        outputs: list[Tensor] = []
        for layer in self.layer[:-1]:
            hidden_states = layer(hidden_states, attention_mask)
            outputs.append(hidden_states)
        outputs.append(LaterOutput.of(last, hidden_states, attention_mask))
        return outputs if output_all_encoded_layers else outputs[-1:]

    return wrapped


def read_where_asked(gather_indexes: Any) -> Any:
    """Let a sequential model's `gather_indexes` compute a last layer at the position that it takes."""

    @functools.wraps(gather_indexes)
    def wrapped(self: Any, output: Tensor, gather_index: Tensor) -> Any:
        if isinstance(output, LaterOutput) and output.computed is None:
            return output_at(output.layer, output.hidden, output.mask, gather_index)
        return gather_indexes(self, output, gather_index)

    return wrapped
