"""From the nodes of an ONNX graph to a chain of layers."""

from __future__ import annotations

from ..layers import Conv1d, Embedding, Pool, Reverse
from ._onnx_file import array_of, import_onnx, opset_of
from ._onnx_fold import Constants
from ._onnx_layers import LAYERS, as_sequence, embedding, recurrent
from ._onnx_moves import MOVES, OF_SIZES, ZEROS, concat, expand, makes_zeros, move, shape
from ._onnx_node import is_recurrent
from ._onnx_values import Flow, Given, Refusal, Refused, Repeated, Roles, Sizes, State, Zeros
from ._weights import chained

OLDEST = 7  # opset


class Reader:
    """One graph on its way to layers.

    Attributes
    ----------
    opset : int
    kinds : the types of tensors of the package onnx
    constants : Constants
    roles : Roles
    """

    def __init__(self, model, name):
        onnx = import_onnx()
        self._onnx, self._name, self._graph = onnx, name, model.graph
        self.opset, self.kinds = opset_of(model), onnx.TensorProto
        if self.opset < OLDEST:
            raise ValueError(f"{name} uses version {self.opset} of the ONNX operators, expected {OLDEST} or later")
        self.constants = Constants(model, name)
        weights = {tensor.name for tensor in model.graph.initializer}
        self._inputs = [value for value in model.graph.input if value.name not in weights]
        self._tokens, self._values, sizes = {}, {}, {}
        for value in self._inputs:
            kind = value.type.tensor_type
            dims = [dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim]
            if not kind.HasField("shape"):  # a wrong guess is found out by whoever reads it
                dims = [None] * (3 if kind.elem_type in (self.kinds.FLOAT, self.kinds.DOUBLE) else 2)
            tokens = self._tokens[value.name] = tuple(("in", value.name, k) for k in range(len(dims)))
            sizes |= dict(zip(tokens, dims))
            self._values[value.name] = Flow(value.name, tokens, (), kind.elem_type)
        self.roles = Roles(sizes)
        for node in model.graph.node:
            for output, found in zip(node.output, self._read(node)):
                if output:
                    self._values[output] = found

    # what handlers ask for

    def value(self, name):
        """Return what is known of a value that is no constant."""
        if name in self._values and not isinstance(self._values[name], Refused):
            return self._values[name]
        raise Refusal(self._values[name].reason if name in self._values else "it reads a constant as a sequence")

    def constant(self, name):
        """Return a constant's numbers."""
        if not self.constants.has(name):
            raise Refusal(f"{name!r} is not constant")
        return self.constants.array(name)

    def sizes(self, name):
        """Return sizes as a list of int and tokens."""
        if self.constants.has(name):
            return [int(size) for size in self.constant(name).reshape(-1)]
        value = self._values.get(name)
        if not isinstance(value, Sizes):
            raise Refusal(f"the sizes {name!r} are computed")
        return list(value.array.reshape(-1))

    def tensor(self, tensor):
        """Return the numbers of an attribute."""
        return array_of(tensor, self._name)

    def is_zero(self, name):
        """Whether a value is all zeros."""
        if isinstance(self._values.get(name), Zeros):
            return True
        return self.constants.has(name) and not self.constants.array(name).any()

    # nodes

    def _read(self, node):
        """Return what is known of the outputs of a node."""
        if all(self.constants.has(name) for name in node.output if name):
            return []
        where = f"node {node.name!r} ({node.op_type})" if node.name else f"a node {node.op_type}"
        for name in node.input:
            if isinstance(self._values.get(name), Refused) and not self._may_lack(node, name):
                return [self._values[name]] * len(node.output)
        try:
            return self._handled(node)
        except Refusal as reason:
            return [Refused(f"{where}: {reason}")] * len(node.output)
        except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:  # of a node that is damaged
            return [Refused(f"{where} does not fit its operator: {error}")] * len(node.output)

    def _may_lack(self, node, name):
        return node.op_type in ("Expand", "ConstantOfShape") and name == node.input[-1]

    def _handled(self, node):
        get = self._onnx.helper.get_attribute_value
        if is_recurrent(node):
            return recurrent(node, self)
        if node.domain not in ("", "ai.onnx"):
            raise Refusal(f"operators of {node.domain!r} are not known")
        attributes = {a.name: get(a) for a in node.attribute if not a.HasField("g")}
        if makes_zeros(node, self, attributes):
            return [ZEROS] * len(node.output)
        kind = node.op_type
        if kind == "Gather" and self.constants.has(node.input[0]):
            return embedding(node, self, attributes)
        if kind == "Concat":
            return concat(node, [self._values.get(name) for name in node.input], self, attributes)
        if kind == "Expand" and self.constants.has(node.input[0]):
            return expand(node, self, attributes)
        if kind == "Shape":
            return shape(node, self.value(node.input[0]), self, attributes)
        if kind in MOVES or (kind in OF_SIZES and isinstance(self._values.get(node.input[0]), Sizes)):
            return move(node, self, attributes)
        if kind not in LAYERS:
            raise Refusal("there is no such layer")
        if isinstance(self._values.get(node.input[0]), Sizes | Given | Zeros | Repeated):
            raise Refusal("it computes with sizes, states or zeros")
        return LAYERS[kind](node, self, attributes)

    # the whole

    def chain(self):
        """Return the layer, whether the batch comes first, and notes.

        Raises
        ------
        ValueError
            Where the graph is no chain of layers.
        """
        try:
            return self._chain()
        except Refusal as reason:
            raise ValueError(
                f"{self._name} cannot be carried over to layers: {reason}. fastrnn.onnx.run_model runs such a graph as "
                "it is, with its recurrent nodes on our kernels"
            ) from None

    def _chain(self):
        outputs = {value.name: self._output(value.name) for value in self._graph.output}
        if not outputs:
            raise Refusal("it has no outputs")
        main = next((name for name, value in outputs.items() if isinstance(value, Flow)), next(iter(outputs)))
        flow = as_sequence(outputs.pop(main))
        if not isinstance(flow, Flow) or flow.is_input:
            raise Refusal(f"its output {main!r} is no sequence that went through layers")
        for name, value in outputs.items():
            if not isinstance(value, State) or any(part[0] not in flow.chain for part in value.parts):
                raise Refusal(f"its output {name!r} is neither {main!r} nor states of the layers in front of that")
        self._check_lengths(flow)
        notes = [note for link in flow.chain for note in link.notes]
        batch_first = self._input_axes(flow, notes)
        self._say_names(flow, outputs, notes)
        self._say_output_axes(flow, main, batch_first, notes)
        return chained([link.layer for link in flow.chain]), batch_first, notes

    def _output(self, name):
        value = self._values.get(name)
        if isinstance(value, Refused):
            raise Refusal(value.reason)
        if not isinstance(value, Flow | State):
            raise Refusal(f"its output {name!r} is constant, or no sequence")
        return value

    def _check_lengths(self, flow):
        """Rows that end early must give the same: behind them no layer may read what stands past their ends."""
        links = [link for link in flow.chain if link.layer.is_recurrent]
        sources = {link.lengths for link in links}
        if sources <= {None}:
            return
        if len(sources) > 1:
            raise Refusal("some of its recurrent nodes have sequence_lens and others not, or others")
        last = flow.chain.index(links[-1]) + 1
        rest = [link for link in flow.chain[last:] if not isinstance(link.layer, Reverse)]
        in_front = [link for link in flow.chain[:last] if not link.layer.is_recurrent]
        if any(isinstance(link.layer, Conv1d) for link in in_front) or (rest and not rest[0].of_states):
            raise Refusal("it has sequence_lens, and other layers read steps past them")

    def _input_axes(self, flow, notes):
        tokens = self._tokens[flow.source]
        roles = [self.roles.of(token) for token in tokens]
        rest = [role for role in roles if role != "F"]
        batch_first = rest[:1] == ["N"] or rest == [None, "T"]
        of_tokens = isinstance(flow.chain[0].layer, Embedding)
        if (roles[-1:] == ["F"]) is of_tokens or (of_tokens and "F" in roles):
            notes.append(f"the graph's input {flow.source!r} is {_named(roles)}; x has the features last")
        return batch_first

    def _say_names(self, flow, outputs, notes):
        lengths = {link.lengths for link in flow.chain} - {None}
        notes += [f"the graph's input {name!r} is the argument lengths" for name in sorted(lengths)]
        states = list(dict.fromkeys(name for link in flow.chain for name in link.states))
        if flow.source in states or flow.source in lengths:
            raise Refusal(f"its input {flow.source!r} is a sequence and lengths or a state as well")
        if states:
            notes.append(f"the graph's inputs {', '.join(map(repr, states))} are the argument state")
        if outputs:
            notes.append(f"the graph's outputs {', '.join(map(repr, outputs))} are the state that run returns")

    def _say_output_axes(self, flow, main, batch_first, notes):
        roles = [self.roles.of(token) or "?" for token in flow.axes]
        usual = ["N", "T", "F"] if batch_first else ["T", "N", "F"]
        if any(isinstance(link.layer, Pool) for link in flow.chain):
            usual.remove("T")
        if len(roles) != len(usual) or any(a not in ("?", b) for a, b in zip(roles, usual)):
            notes.append(f"the graph's output {main!r} is {_named(roles)}; y is {_named(usual)}")


def _named(roles):
    return f"({', '.join(role or '?' for role in roles)})"
