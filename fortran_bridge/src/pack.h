/* Between a host's arrays and [level, column] slots: packed, cast and transposed in one pass.
 *
 * A host's field is a base address with strides in bytes along two column axes and the level; a slot
 * has columns next to each other and a stride from level to level. Where the host's columns lie next
 * to each other, whole rows are converted. Where its levels do, tiles of TILE x TILE numbers are
 * turned in registers and cache: each cache line is read once and written once.
 */
#ifndef ISTHMUS_PACK_H
#define ISTHMUS_PACK_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define TILE 16

typedef struct {
  char *base;          /* of the first column at the top level */
  int kind;            /* bytes of a real: 4 or 8 */
  int64_t n[2];        /* columns: fast and slow axis */
  int64_t s[2];        /* bytes from one to the next along these */
  int64_t rows, level; /* levels, and bytes from one to the next; negative: the host counts upward */
} isthmus_strided;

/* One instance for each pair of kinds and each direction. `H` is the host's type, `S` the slot's;
 * GET and PUT say which of both is read. */
#define ISTHMUS_KERNEL(NAME, H, S, MOVE_ONE)                                                       \
  static void NAME(const isthmus_strided *h, char *slot, int64_t pitch)                            \
  {                                                                                                \
    for (int64_t j = 0; j < h->n[1]; j++) {                                                        \
      char *column = h->base + j * h->s[1];                                                        \
      char *row0 = slot + j * h->n[0] * (int64_t)sizeof(S);                                        \
      if (h->s[0] == (int64_t)sizeof(H)) {                                                         \
        for (int64_t k = 0; k < h->rows; k++) {                                                    \
          H *restrict a = (H *)(column + k * h->level);                                            \
          S *restrict b = (S *)(row0 + k * pitch);                                                 \
          for (int64_t i = 0; i < h->n[0]; i++)                                                    \
            MOVE_ONE(H, S, a[i], b[i]);                                                            \
        }                                                                                          \
      } else {                                                                                     \
        for (int64_t i0 = 0; i0 < h->n[0]; i0 += TILE)                                             \
          for (int64_t k0 = 0; k0 < h->rows; k0 += TILE)                                           \
            NAME##_tile(h, column, row0, pitch, i0, k0);                                           \
      }                                                                                            \
    }                                                                                              \
  }

#define ISTHMUS_TILE_IN(NAME, H, S)                                                                \
  static void NAME##_tile(const isthmus_strided *h, char *column, char *row0, int64_t pitch,       \
                          int64_t i0, int64_t k0)                                                  \
  {                                                                                                \
    const int64_t ni = h->n[0] - i0 < TILE ? h->n[0] - i0 : TILE;                                  \
    const int64_t nk = h->rows - k0 < TILE ? h->rows - k0 : TILE;                                  \
    S turned[TILE][TILE];                                                                          \
    if (ni == TILE && nk == TILE && h->level == (int64_t)sizeof(H)) {                              \
      for (int i = 0; i < TILE; i++) {                                                             \
        const H *restrict a = (const H *)(column + (i0 + i) * h->s[0]) + k0;                       \
        for (int k = 0; k < TILE; k++)                                                             \
          turned[k][i] = (S)a[k];                                                                  \
      }                                                                                            \
      for (int k = 0; k < TILE; k++)                                                               \
        memcpy(row0 + (k0 + k) * pitch + i0 * (int64_t)sizeof(S), turned[k], sizeof turned[k]);    \
      return;                                                                                      \
    }                                                                                              \
    for (int64_t k = 0; k < nk; k++)                                                               \
      for (int64_t i = 0; i < ni; i++)                                                             \
        ((S *)(row0 + (k0 + k) * pitch))[i0 + i] =                                                 \
            (S) * (const H *)(column + (i0 + i) * h->s[0] + (k0 + k) * h->level);                  \
  }

#define ISTHMUS_TILE_OUT(NAME, H, S)                                                               \
  static void NAME##_tile(const isthmus_strided *h, char *column, char *row0, int64_t pitch,       \
                          int64_t i0, int64_t k0)                                                  \
  {                                                                                                \
    const int64_t ni = h->n[0] - i0 < TILE ? h->n[0] - i0 : TILE;                                  \
    const int64_t nk = h->rows - k0 < TILE ? h->rows - k0 : TILE;                                  \
    H turned[TILE][TILE];                                                                          \
    if (ni == TILE && nk == TILE && h->level == (int64_t)sizeof(H)) {                              \
      for (int k = 0; k < TILE; k++) {                                                             \
        const S *restrict b = (const S *)(row0 + (k0 + k) * pitch) + i0;                           \
        for (int i = 0; i < TILE; i++)                                                             \
          turned[i][k] = (H)b[i];                                                                  \
      }                                                                                            \
      for (int i = 0; i < TILE; i++)                                                               \
        memcpy((H *)(column + (i0 + i) * h->s[0]) + k0, turned[i], sizeof turned[i]);              \
      return;                                                                                      \
    }                                                                                              \
    for (int64_t i = 0; i < ni; i++)                                                               \
      for (int64_t k = 0; k < nk; k++)                                                             \
        *(H *)(column + (i0 + i) * h->s[0] + (k0 + k) * h->level) =                                \
            (H)((const S *)(row0 + (k0 + k) * pitch))[i0 + i];                                     \
  }

#define ISTHMUS_IN(H, S, host, slot) (slot) = (S)(host)
#define ISTHMUS_OUT(H, S, host, slot) (host) = (H)(slot)

ISTHMUS_TILE_IN(in_44, float, float)
ISTHMUS_TILE_IN(in_48, float, double)
ISTHMUS_TILE_IN(in_84, double, float)
ISTHMUS_TILE_IN(in_88, double, double)
ISTHMUS_TILE_OUT(out_44, float, float)
ISTHMUS_TILE_OUT(out_48, float, double)
ISTHMUS_TILE_OUT(out_84, double, float)
ISTHMUS_TILE_OUT(out_88, double, double)
ISTHMUS_KERNEL(in_44, float, float, ISTHMUS_IN)
ISTHMUS_KERNEL(in_48, float, double, ISTHMUS_IN)
ISTHMUS_KERNEL(in_84, double, float, ISTHMUS_IN)
ISTHMUS_KERNEL(in_88, double, double, ISTHMUS_IN)
ISTHMUS_KERNEL(out_44, float, float, ISTHMUS_OUT)
ISTHMUS_KERNEL(out_48, float, double, ISTHMUS_OUT)
ISTHMUS_KERNEL(out_84, double, float, ISTHMUS_OUT)
ISTHMUS_KERNEL(out_88, double, double, ISTHMUS_OUT)

typedef void isthmus_mover(const isthmus_strided *, char *, int64_t);

/* Fills a slot (`kind` bytes a real, `pitch` bytes from level to level) from the host's array. */
static void pack(const isthmus_strided *h, char *slot, int kind, int64_t pitch)
{
  static isthmus_mover *const table[2][2] = {{in_44, in_48}, {in_84, in_88}};
  table[h->kind == 8][kind == 8](h, slot, pitch);
}

/* Fills the host's array from a slot. */
static void unpack(const isthmus_strided *h, char *slot, int kind, int64_t pitch)
{
  static isthmus_mover *const table[2][2] = {{out_44, out_48}, {out_84, out_88}};
  table[h->kind == 8][kind == 8](h, slot, pitch);
}

#endif
