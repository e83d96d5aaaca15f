"""The weights of one direction of one layer, bound to the loops."""

import numpy as np

cimport numpy as cnp
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.string cimport memset

from fastrnn._core.kernels cimport FR_RSTD, fr_activation, pack_rows_function, product_function
from fastrnn._core.loops cimport KERNELS_MAX, Loop, Operator
from fastrnn._core.native cimport kernels_of

cnp.import_array()


cdef class Direction:
    """The weights of one direction of one layer, as the loops read them; immutable.

    Parameters
    ----------
    pack : fastrnn.layers.cells.DirectionPack
    reverse : bool
        From the last step to the first, each row from its own end.
    """
    def __cinit__(self, pack, bint reverse):
        cdef Loop *loop = &self.forward
        variant = pack.variant
        self.pack, self.has_norm = pack, variant is not None and variant.norm_h is not None
        self.is_fused = pack.engine.name == "native" and not self.has_norm
        self.type_number = np.dtype(pack.dtype).num
        self.H, self.Hp, self.Rp = pack.H, pack.Hp, pack.Rp
        self.gate_width, self.kept_width = pack.cell.n_gates * pack.Hp, pack.cell.blocks * pack.Hp
        self.projects, self.has_d_mid = pack.projects, bool(pack.cell.mid_gates) or pack.projects
        self.has_mid = self.has_d_mid or (self.has_norm and pack.cell.has_cell)
        memset(loop, 0, sizeof(Loop))
        loop.itemsize = pack.dtype.itemsize
        loop.kernels = kernels_of(loop.itemsize)
        loop.reverse = reverse
        loop.X, loop.R, loop.has_cell = pack.I, pack.R, pack.cell.has_cell
        loop.bias = cnp.PyArray_DATA(<cnp.ndarray>pack.bias)
        if not self.is_fused:
            loop.product = _product(pack.engine)
            self.scratch_columns = max([operator.weights.N for operator in pack.forward if operator.weights])
        if variant is not None:
            self._take(variant)
        _fill_operators(loop, pack.forward)

    cdef _take(self, variant):
        """Bind what tells the cell from the plain one: a `fastrnn.layers.variants.VariantPack`."""
        cdef fr_variant *v = &self.variant
        cdef Loop *loop = &self.forward
        memset(v, 0, sizeof(fr_variant))
        _take_activation(&v.gate, variant.gate)
        _take_activation(&v.candidate, variant.candidate)
        _take_activation(&v.output, variant.output)
        v.clip, v.peepholes = variant.clip, variant.peepholes
        v.blocks, v.projects = self.pack.cell.blocks, self.projects
        v.peephole, v.norm_x = _data(variant.peephole), _data(variant.norm_x)
        v.norm_h, v.norm_c = _data(variant.norm_h), _data(variant.norm_c)
        loop.variant = v
        loop.zone_h.data, loop.zone_h.ld = <char *>_data(variant.zone), 0
        if loop.has_cell:
            loop.zone_c = loop.zone_h
        self.norm_at = v.peepholes * self.Hp
        loop.sums_width = self.norm_at
        self.extra_width = self.norm_at
        if self.has_norm:
            loop.sums_width += (2 * v.blocks + 2) * self.Hp
            self.extra_width += (4 * v.blocks + 3) * self.Hp + FR_RSTD

    cdef const Loop *backward_loop(self):
        """The loop backward, made when first asked for."""
        cdef Loop *loop = &self.backward
        if self._held is None:
            operators, w_ih = self.pack.backward
            loop[0] = self.forward
            loop.product = _product(self.pack.engine)
            loop.pack_rows = <pack_rows_function>PyCapsule_GetPointer(self.pack.engine.pack_rows, "fastrnn.pack_rows")
            loop.w_ih, loop.x_width = cnp.PyArray_DATA(<cnp.ndarray>w_ih.data), self.gate_width
            loop.gates_width = self.kept_width
            _fill_operators(loop, operators)
            self._held = operators, w_ih
        return loop


cdef void _take_activation(fr_activation *target, activation):
    target.kind, target.alpha, target.beta = activation


cdef void *_data(array):
    return NULL if array is None else cnp.PyArray_DATA(<cnp.ndarray>array)


cdef product_function _product(engine):
    return <product_function>PyCapsule_GetPointer(engine.product, "fastrnn.product")


cdef void _fill_operators(Loop *loop, operators):
    cdef Operator *op
    assert len(operators) <= KERNELS_MAX
    loop.n_operators = len(operators)
    for i, operator in enumerate(operators):
        op = &loop.operators[i]
        op.kernel, op.H, op.Hp = operator.kernel, operator.units, operator.padded_units
        op.w_x = NULL
        if operator.input_weights is not None:
            op.w_x = cnp.PyArray_DATA(<cnp.ndarray>operator.input_weights.data)
        if operator.weights is None:
            op.w, op.K, op.N = NULL, 0, 0
        else:
            op.w = cnp.PyArray_DATA(<cnp.ndarray>operator.weights.data)
            op.K, op.N = operator.weights.K, operator.weights.N
        op.from_mid, op.into_mid, op.column = operator.from_mid, operator.into_mid, operator.column
