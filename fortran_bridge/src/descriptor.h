/* What the Fortran module calls: arrays by their standard descriptor (Fortran 2018, 18.5.3), so that
 * one entry takes every rank, kind and section. */
#ifndef ISTHMUS_DESCRIPTOR_H
#define ISTHMUS_DESCRIPTOR_H

#include <ISO_Fortran_binding.h>

int isthmus_declare_descriptor(isthmus_session handle, const char *name, const char *units,
                               const CFI_cdesc_t *x, int layout, int upward);

int isthmus_declare_descriptor(isthmus_session handle, const char *name, const char *units,
                               const CFI_cdesc_t *x, int layout, int upward)
{
  isthmus_array a = {.base = x->base_addr, .rank = x->rank, .layout = layout, .upward = upward};
  if (x->type == CFI_type_float)
    a.kind = 4;
  else if (x->type == CFI_type_double)
    a.kind = 8;
  for (int i = 0; i < x->rank && i < 4; i++) {
    a.extent[i] = x->dim[i].extent;
    a.stride[i] = x->dim[i].sm;
  }
  return isthmus_declare(handle, name, units, &a);
}

#endif
