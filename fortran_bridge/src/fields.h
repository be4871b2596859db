/* A host's arrays and the fields of the shared memory: matched by name, unit, shape and kind. */
#ifndef ISTHMUS_FIELDS_H
#define ISTHMUS_FIELDS_H

#include "channel.h"

static const char *const role_names[] = {"", "input", "tendency", "flux", "diagnostic"};

typedef struct {
  char name[49], units[25];
  int role;             /* as the host says it; 0: whatever has the name */
  int field;            /* line of the table; -1 while there never was a server */
  int allocated;        /* the host works in the shared memory itself */
  isthmus_array array;
  isthmus_strided host;
  char *held;           /* the last good answer, [rows, ncol] in the slot's kind */
} declared_field;

/* A field's place in the shared memory, as a host asks for it. */
typedef struct {
  int rank, naxes, given; /* of the host's pointer; axes of columns; whether the host named these */
  int64_t axes[4];
  void *base;
  int64_t extent[4], stride[4], pitch; /* [byte] */
  int rows;
} slot_view;

static int field_rows(const field_record *f)
{
  return f->rank == 2 ? (int)f->shape[0] : 1;
}

static int field_kind(const field_record *f)
{
  return f->kind[1] == '4' ? 4 : 8;
}

/* This member's first column at the top level of a field. */
static char *field_slot(const channel *c, const field_record *f)
{
  return c->memory + f->offset + read_u64(c->block + FIRST_COLUMN) * (uint64_t)field_kind(f);
}

/* Whether a line of the table is what it should be; the server is not trusted with our memory. */
static int field_is_sound(const channel *c, const field_record *f, const isthmus_options *o)
{
  const uint64_t rows = f->rank == 2 ? f->shape[0] : 1;
  const uint64_t columns = f->rank ? f->shape[f->rank - 1] : 0;
  const uint64_t kind = (uint64_t)field_kind(f);
  const uint64_t first = read_u64(c->block + FIRST_COLUMN);
  return f->columns && (f->rank == 1 || f->rank == 2) && f->kind[0] == 'f' &&
         kind == (uint64_t)o->kind && f->stride == columns * kind &&
         read_u64(c->block + COLUMN_COUNT) == (uint64_t)o->ncol &&
         first + (uint64_t)o->ncol <= columns && rows <= 100000 && f->offset <= c->size &&
         rows * f->stride <= c->size - f->offset;
}

/* The line of a name, an input's before an output's; -1 for none. */
static int find_field(const channel *c, const char *name, int role)
{
  for (int r = INPUT; r <= DIAGNOSTIC; r++)
    for (int i = 0; i < c->nfields; i++)
      if ((int)c->table[i].role == r && (role == 0 || role == r) &&
          strncmp(c->table[i].name, name, sizeof c->table[i].name) == 0)
        return i;
  return -1;
}

/* All names of a role, for messages. */
static void list_fields(const channel *c, char *text, size_t size)
{
  text[0] = '\0';
  for (int i = 0; i < c->nfields; i++)
    if (c->table[i].role >= INPUT && c->table[i].role <= DIAGNOSTIC) {
      const size_t n = strlen(text);
      snprintf(text + n, size - n, "%s%s %.48s [%.24s]", n ? ", " : "",
               role_names[c->table[i].role], c->table[i].name, c->table[i].units);
    }
}

static void shape_text(const isthmus_array *a, char *text, size_t size)
{
  size_t n = (size_t)snprintf(text, size, "(");
  for (int i = 0; i < a->rank && n < size; i++)
    n += (size_t)snprintf(text + n, size - n, "%s%lld", i ? ", " : "", (long long)a->extent[i]);
  if (n < size)
    snprintf(text + n, size - n, ")");
}

/* Columns and levels of an array's axes: which of both comes first, 0 if neither fits. */
static int layout_of(const isthmus_array *a, int64_t ncol, int64_t rows, int levelled)
{
  const int64_t *e = a->extent;
  int columns = 0, levels = 0;
  if (!levelled)
    columns = (a->rank == 0 && ncol == 1) || (a->rank == 1 && e[0] == ncol) ||
              (a->rank == 2 && e[0] * e[1] == ncol) ||
              (a->rank == 3 && e[0] * e[1] * e[2] == ncol);
  else if (a->rank == 1)
    columns = ncol == 1 && e[0] == rows;
  else if (a->rank == 2) {
    columns = e[0] == ncol && e[1] == rows;
    levels = e[0] == rows && e[1] == ncol;
  } else if (a->rank == 3) {
    columns = e[0] * e[1] == ncol && e[2] == rows;
    levels = e[0] == rows && e[1] * e[2] == ncol;
  } else if (a->rank == 4) {
    columns = e[0] * e[1] * e[2] == ncol && e[3] == rows;
    levels = e[0] == rows && e[1] * e[2] * e[3] == ncol;
  }
  if (a->layout == ISTHMUS_COLUMNS_FIRST || (ncol == 1 && rows == 1))
    levels = 0;
  if (a->layout == ISTHMUS_LEVELS_FIRST && levelled && a->rank > 1)
    columns = 0;
  return columns && levels ? -1 : columns ? ISTHMUS_COLUMNS_FIRST
                                          : levels ? ISTHMUS_LEVELS_FIRST : 0;
}

/* How the host's array lies, once its axes are known. */
static isthmus_strided strided_of(const isthmus_array *a, int64_t rows, int levelled, int layout)
{
  isthmus_strided h = {a->base, a->kind, {1, 1, 1}, {a->kind, 0, 0}, rows, 0};
  const int first = layout == ISTHMUS_LEVELS_FIRST ? 1 : 0;
  const int level = !levelled ? -1 : layout == ISTHMUS_LEVELS_FIRST ? 0 : a->rank - 1;
  const int naxes = a->rank - (level >= 0);
  for (int i = 0; i < naxes && i < 3; i++) {
    h.n[i] = a->extent[first + i];
    h.s[i] = a->stride[first + i];
  }
  if (level >= 0)
    h.level = a->stride[level];
  for (int i = 1; i >= 0; i--) /* two that are one axis in memory */
    if (h.n[i + 1] > 1 && h.s[i + 1] == h.n[i] * h.s[i]) {
      h.n[i] *= h.n[i + 1];
      h.n[i + 1] = 1;
    }
  if (a->upward && rows > 1) {
    h.base += (rows - 1) * h.level;
    h.level = -h.level;
  }
  return h;
}

/* Ties a declared array to a field of the server, or says why not. */
static int bind_field(const channel *c, declared_field *d, const isthmus_options *o,
                      sentence *said)
{
  char text[512];
  const int i = find_field(c, d->name, d->role);
  if (i < 0) {
    list_fields(c, text, sizeof text);
    return say(said, ISTHMUS_FIELD, "unknown field: %s%s%s of %.32s=%.64s; it has %s",
               role_names[d->role], d->role ? " " : "", d->name, c->memory + TOP_PROCESS,
               c->memory + TOP_PROCESS + 32, text);
  }
  const field_record *f = &c->table[i];
  if (strncmp(f->units, d->units, sizeof f->units) != 0)
    return say(said, ISTHMUS_FIELD, "another unit: %s; expected '%.24s'; found '%s'", d->name,
               f->units, d->units);
  if (!field_is_sound(c, f, o))
    return say(said, ISTHMUS_FIELD, "a field that does not lie in the shared memory: %s", d->name);
  const int rows = field_rows(f);
  int levelled = f->rank == 2;
  if (!d->allocated) {
    int layout = layout_of(&d->array, o->ncol, rows, levelled);
    if (layout == 0 && levelled && rows == 1) { /* one level needs no axis */
      levelled = 0;
      layout = layout_of(&d->array, o->ncol, rows, levelled);
    }
    if (layout <= 0) {
      shape_text(&d->array, text, sizeof text);
      if (layout < 0)
        return say(said, ISTHMUS_FIELD, "an array whose axes could be columns or levels: %s %s; "
                   "say which is first, columns or levels", d->name, text);
      if (!levelled)
        return say(said, ISTHMUS_FIELD, "another shape: %s; expected (%d) or (lon, lat) with as "
                   "many columns; found %s", d->name, o->ncol, text);
      return say(said, ISTHMUS_FIELD, "another shape: %s; expected (%d, %d) or (%d, %d), columns "
                 "and levels, or (lon, lat, %d) or (%d, lon, lat); found %s%s", d->name, o->ncol,
                 rows, rows, o->ncol, rows, rows, text,
                 d->array.layout == ISTHMUS_COLUMNS_FIRST  ? ", columns first"
                 : d->array.layout == ISTHMUS_LEVELS_FIRST ? ", levels first" : "");
    }
    d->host = strided_of(&d->array, rows, levelled, layout);
  }
  d->role = (int)f->role;
  d->field = i;
  return 0;
}

/* A field's name as the host writes it, "ua" or "tendency ua". */
static int split_name(const char *text, declared_field *d, sentence *said)
{
  const char *name = text;
  for (int r = INPUT; r <= DIAGNOSTIC; r++) {
    const size_t n = strlen(role_names[r]);
    if (strncmp(text, role_names[r], n) == 0 && text[n] == ' ') {
      d->role = r;
      name = text + n + 1;
    }
  }
  if (!*name || strlen(name) >= sizeof d->name)
    return say(said, ISTHMUS_ARGUMENT, "not the name of a field: '%s'", text);
  strcpy(d->name, name);
  return 0;
}

/* How a host that asked for axes of its own sees a field's place: with `naxes` axes of columns, or,
 * without, as many as its rank leaves. Rank 0: one that asks for nothing. */
static int shape_of_slot(const field_record *f, const isthmus_options *o, slot_view *v,
                         sentence *said)
{
  const int rows = field_rows(f), rank = v->rank;
  const int64_t kind = field_kind(f), ncol = o->ncol, row = o->row;
  int levelled = f->rank == 2 && !(v->naxes && v->naxes == rank && rows == 1);
  if (rank == 0)
    return 0;
  int64_t product = 1;
  if (!v->naxes) {
    /* A field of columns alone is (ncol, 1) to a host that asks for two axes and has no rows. */
    levelled |= rank == 2 && !row;
    v->naxes = rank - levelled;
    v->axes[0] = v->naxes == 2 ? row : ncol;
    v->axes[1] = v->naxes == 2 && row ? ncol / row : 1;
  }
  for (int i = 0; i < v->naxes && i < 4; i++)
    product *= v->axes[i];
  if (v->naxes + levelled != rank || rank > 4 || v->naxes > 2 + (v->given != 0) ||
      product != (v->naxes ? ncol : 1) || (v->naxes == 0 && ncol != 1))
    return say(said, ISTHMUS_FIELD, "another shape: %.48s; expected axes of columns whose product is "
               "%lld%s; found a pointer of rank %d, with %d axes of columns; name them, "
               "columns=[nlon, nlat]", f->name, (long long)ncol,
               levelled ? " and one of levels" : "", rank, v->naxes);
  int64_t step = kind;
  for (int i = 0; i < v->naxes; i++) {
    v->extent[i] = v->axes[i];
    v->stride[i] = step;
    step *= v->axes[i];
  }
  if (levelled) {
    v->extent[v->naxes] = rows;
    v->stride[v->naxes] = rows > 1 ? (int64_t)f->stride : step;
  }
  return 0;
}

#endif
