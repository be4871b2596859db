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

/* A pointer of any rank up to 4, and of either kind, into a field's own place; `columns` are the
 * extents of its axes of columns, none if the host named none. */
int isthmus_alloc_descriptor(isthmus_session handle, const char *name, const char *units,
                             CFI_cdesc_t *x, int naxes, const int64_t *columns);

int isthmus_alloc_descriptor(isthmus_session handle, const char *name, const char *units,
                             CFI_cdesc_t *x, int naxes, const int64_t *columns)
{
  x->base_addr = NULL;
  session *s = enter(handle);
  if (!s)
    return -ISTHMUS_ORDER;
  slot_view v = {.rank = x->rank, .naxes = naxes, .given = naxes};
  for (int i = 0; i < naxes && i < 4; i++)
    v.axes[i] = columns[i];
  const int status = allocate(s, name, units, x->type == CFI_type_float ? 4 : 8, &v);
  for (int i = 0; i < x->rank && status == 0; i++) {
    x->dim[i].lower_bound = 1;
    x->dim[i].extent = v.extent[i];
    x->dim[i].sm = v.stride[i];
  }
  x->base_addr = v.base;
  return leave(s, status);
}

#endif
