/* Between a host's arrays and [level, column] slots: packed, cast and transposed in one pass.
 *
 * A host's field is a base address with strides in bytes along two column axes and the level; a slot
 * has columns next to each other and a stride from level to level. Where the host's columns lie next
 * to each other, whole rows are converted. Where its levels do, tiles of TILE x TILE numbers are
 * turned in registers and cache: each cache line is read once and written once. Fields that lie
 * without gaps on both sides are one row.
 *
 * The loops are compiled twice where that helps, for any processor of the architecture and for one
 * with AVX2; which one runs is decided at run time, so that one library serves a whole cluster. The
 * results are the same bits: each number is converted on its own, with one rounding.
 */
#ifndef ISTHMUS_PACK_H
#define ISTHMUS_PACK_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define TILE 16

/* GCC keeps loops scalar at -O2. */
#if defined(__GNUC__) && !defined(__clang__)
#define ISTHMUS_PLAIN __attribute__((optimize("O3")))
#define ISTHMUS_WIDE __attribute__((optimize("O3"), target("avx2")))
#elif defined(__GNUC__)
#define ISTHMUS_PLAIN
#define ISTHMUS_WIDE __attribute__((target("avx2")))
#else
#define ISTHMUS_PLAIN
#endif
#if defined(__GNUC__) && defined(__x86_64__)
#define ISTHMUS_BOTH(DEFINE, NAME, ...)                                                            \
  DEFINE(ISTHMUS_PLAIN, NAME, __VA_ARGS__)                                                         \
  DEFINE(ISTHMUS_WIDE, NAME##_wide, __VA_ARGS__)
#define ISTHMUS_PICK(NAME) (__builtin_cpu_supports("avx2") ? NAME##_wide : NAME)
#else
#define ISTHMUS_BOTH(DEFINE, NAME, ...) DEFINE(ISTHMUS_PLAIN, NAME, __VA_ARGS__)
#define ISTHMUS_PICK(NAME) NAME
#endif

typedef struct {
  char *base;          /* of the first column at the top level */
  int kind;            /* bytes of a real: 4 or 8 */
  int64_t n[3];        /* columns: axes of any number, the fast one first */
  int64_t s[3];        /* bytes from one to the next along these */
  int64_t rows, level; /* levels, and bytes from one to the next; negative: the host counts upward */
} isthmus_strided;

/* One instance for each pair of kinds and each direction, compiled FOR a processor. `H` is the host's
 * type, `S` the slot's; MOVE_ONE says which of both is read. */
#define ISTHMUS_KERNEL(FOR, NAME, H, S, MOVE_ONE)                                                  \
  FOR static void NAME(const isthmus_strided *h, char *slot, int64_t pitch)                        \
  {                                                                                                \
    for (int64_t j = 0; j < h->n[1] * h->n[2]; j++) {                                              \
      char *column = h->base + j % h->n[1] * h->s[1] + j / h->n[1] * h->s[2];                      \
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

#define ISTHMUS_TILE_IN(FOR, NAME, H, S)                                                           \
  FOR static void NAME##_tile(const isthmus_strided *h, char *column, char *row0, int64_t pitch,   \
                              int64_t i0, int64_t k0)                                              \
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

#define ISTHMUS_TILE_OUT(FOR, NAME, H, S)                                                          \
  FOR static void NAME##_tile(const isthmus_strided *h, char *column, char *row0, int64_t pitch,   \
                              int64_t i0, int64_t k0)                                              \
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

ISTHMUS_BOTH(ISTHMUS_TILE_IN, in_44, float, float)
ISTHMUS_BOTH(ISTHMUS_TILE_IN, in_48, float, double)
ISTHMUS_BOTH(ISTHMUS_TILE_IN, in_84, double, float)
ISTHMUS_BOTH(ISTHMUS_TILE_IN, in_88, double, double)
ISTHMUS_BOTH(ISTHMUS_TILE_OUT, out_44, float, float)
ISTHMUS_BOTH(ISTHMUS_TILE_OUT, out_48, float, double)
ISTHMUS_BOTH(ISTHMUS_TILE_OUT, out_84, double, float)
ISTHMUS_BOTH(ISTHMUS_TILE_OUT, out_88, double, double)
ISTHMUS_BOTH(ISTHMUS_KERNEL, in_44, float, float, ISTHMUS_IN)
ISTHMUS_BOTH(ISTHMUS_KERNEL, in_48, float, double, ISTHMUS_IN)
ISTHMUS_BOTH(ISTHMUS_KERNEL, in_84, double, float, ISTHMUS_IN)
ISTHMUS_BOTH(ISTHMUS_KERNEL, in_88, double, double, ISTHMUS_IN)
ISTHMUS_BOTH(ISTHMUS_KERNEL, out_44, float, float, ISTHMUS_OUT)
ISTHMUS_BOTH(ISTHMUS_KERNEL, out_48, float, double, ISTHMUS_OUT)
ISTHMUS_BOTH(ISTHMUS_KERNEL, out_84, double, float, ISTHMUS_OUT)
ISTHMUS_BOTH(ISTHMUS_KERNEL, out_88, double, double, ISTHMUS_OUT)

typedef void isthmus_mover(const isthmus_strided *, char *, int64_t);

/* A field without gaps on either side as one long row. */
static isthmus_strided joined(const isthmus_strided *h, int kind, int64_t pitch)
{
  isthmus_strided one = *h;
  if (h->n[1] * h->n[2] == 1 && h->s[0] == h->kind && h->level == h->n[0] * h->kind &&
      pitch == h->n[0] * kind) {
    one.n[0] *= h->rows;
    one.rows = 1;
  }
  return one;
}

/* Fills a slot (`kind` bytes a real, `pitch` bytes from level to level) from the host's array. */
static void pack(const isthmus_strided *h, char *slot, int kind, int64_t pitch)
{
  isthmus_mover *const table[2][2] = {{ISTHMUS_PICK(in_44), ISTHMUS_PICK(in_48)},
                                      {ISTHMUS_PICK(in_84), ISTHMUS_PICK(in_88)}};
  const isthmus_strided one = joined(h, kind, pitch);
  table[h->kind == 8][kind == 8](&one, slot, pitch);
}

/* Fills the host's array from a slot. */
static void unpack(const isthmus_strided *h, char *slot, int kind, int64_t pitch)
{
  isthmus_mover *const table[2][2] = {{ISTHMUS_PICK(out_44), ISTHMUS_PICK(out_48)},
                                      {ISTHMUS_PICK(out_84), ISTHMUS_PICK(out_88)}};
  const isthmus_strided one = joined(h, kind, pitch);
  table[h->kind == 8][kind == 8](&one, slot, pitch);
}

/* Whether any of n numbers is not finite: has all bits of its exponent set. */
#define ISTHMUS_SCAN(FOR, NAME, U, EXPONENT)                                                       \
  FOR static int NAME(const char *numbers, int64_t n)                                              \
  {                                                                                                \
    const U *restrict x = (const U *)(const void *)numbers;                                        \
    U bad = 0;                                                                                     \
    for (int64_t i = 0; i < n; i++)                                                                \
      bad |= (x[i] & EXPONENT) == EXPONENT;                                                        \
    return bad != 0;                                                                               \
  }
ISTHMUS_BOTH(ISTHMUS_SCAN, odd_4, uint32_t, UINT32_C(0x7f800000))
ISTHMUS_BOTH(ISTHMUS_SCAN, odd_8, uint64_t, UINT64_C(0x7ff0000000000000))

/* Whether every number of a slot is finite. */
static int all_finite(const char *slot, int kind, int64_t pitch, int64_t rows, int64_t ncol)
{
  if (pitch == ncol * kind) {
    ncol *= rows;
    rows = 1;
  }
  int odd = 0;
  for (int64_t k = 0; k < rows; k++)
    odd |= (kind == 4 ? ISTHMUS_PICK(odd_4) : ISTHMUS_PICK(odd_8))(slot + k * pitch, ncol);
  return !odd;
}

#endif
