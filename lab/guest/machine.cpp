// The few parts of a PC that the guest needs: local APIC timer, second CPU, interrupt table.
#include "guest.h"

u32 cpu_count = 1;

enum { CODE = 0x08, VECTOR_TICK = 0x40, VECTOR_SPURIOUS = 0xFF, TRAMPOLINE = 0x8000 };
enum { ID = 0x20, EOI = 0xB0, SPURIOUS = 0xF0, ICR_LOW = 0x300, ICR_HIGH = 0x310, LVT_TIMER = 0x320,
       LVT_LINT0 = 0x350, LVT_LINT1 = 0x360, TIMER_COUNT = 0x380, TIMER_DIVIDE = 0x3E0 };

static volatile u32& lapic(u32 reg) { return *(volatile u32*)(0xFEE00000u + reg); }

struct gate { u16 low, selector; u8 zero, type; u16 high; };
static gate idt[256];
static volatile bool second_alive;
static u32 pm_last[MAX_CPUS];

struct frame;
static void set_gate(u32 vector, void (*handler)(frame*)) {
  u32 a = (u32)handler;
  idt[vector] = {(u16)a, CODE, 0, 0x8E, (u16)(a >> 16)};
}

[[noreturn]] void machine_stop() { for (;;) __asm__ volatile("cli; hlt"); }

__attribute__((interrupt)) static void on_trap(frame*) {
  put("error: CPU exception in the guest\n");
  machine_stop();
}

__attribute__((interrupt)) static void on_spurious(frame*) {}

__attribute__((interrupt)) static void on_tick(frame*) {
  u32 cpu = lapic(ID) >> 24;
  if (cpu == 0) beat();  // first, for the least jitter
  u32 now = pm_now(), elapsed = (now - pm_last[cpu]) & 0xFFFFFF;
  pm_last[cpu] = now;
  pace_tick(cpu, elapsed);
  if (cpu == 0) serial_poll();
  lapic(EOI) = 0;
}

static void load_idt() {
  struct { u16 limit; u32 base; } __attribute__((packed)) pointer = {sizeof idt - 1, (u32)idt};
  __asm__ volatile("lidt %0" : : "m"(pointer));
}

void machine_init() {
  for (u32 v = 0; v < 32; v++) set_gate(v, on_trap);
  for (u32 v = 32; v < 256; v++) set_gate(v, on_spurious);
  set_gate(VECTOR_TICK, on_tick);
  load_idt();
  outb(0x21, 0xFF);  // both PICs off
  outb(0xA1, 0xFF);
  // fw_cfg item 5: number of CPUs, little endian
  __asm__ volatile("outw %0, %1" : : "a"((u16)5), "Nd"((u16)0x510));
  u32 low = inb(0x511);
  cpu_count = low | inb(0x511) << 8;
}

// QEMU's APIC timer counts nanoseconds of virtual time, also under KVM.
void machine_start_tick() {
  load_idt();
  u32 cpu = lapic(ID) >> 24;
  lapic(SPURIOUS) = 0x100 | VECTOR_SPURIOUS;
  lapic(LVT_LINT0) = 0x10000;
  lapic(LVT_LINT1) = 0x10000;
  lapic(TIMER_DIVIDE) = 0x3;  // by 16
  lapic(LVT_TIMER) = 0x20000 | VECTOR_TICK;
  pm_last[cpu] = pm_now();
  lapic(TIMER_COUNT) = 1000000000 / 16 / TICK_HZ - 1;
  __asm__ volatile("sti");
}

extern "C" const u8 trampoline[], trampoline_end[];

void machine_start_second_cpu() {
  for (u32 i = 0; i < (u32)(trampoline_end - trampoline); i++) ((volatile u8*)TRAMPOLINE)[i] = trampoline[i];
  lapic(ICR_HIGH) = 1 << 24;
  lapic(ICR_LOW) = 0x4500;  // INIT
  for (int tries = 0; tries < 200 && !second_alive; tries++) {
    for (u32 t = pm_now(); ((pm_now() - t) & 0xFFFFFF) < PM_HZ / 1000;) {}
    lapic(ICR_HIGH) = 1 << 24;
    lapic(ICR_LOW) = 0x4600 | TRAMPOLINE >> 12;  // start-up; ignored by a CPU that runs
    for (u32 t = pm_now(); ((pm_now() - t) & 0xFFFFFF) < PM_HZ / 200 && !second_alive;) {}
  }
  if (!second_alive) {
    put("error: the second CPU does not start\n");
    machine_stop();
  }
}

[[noreturn]] void dirty_memory(u32 cpu);

extern "C" void second_main() {
  second_alive = true;
  machine_start_tick();
  dirty_memory(1);
}
