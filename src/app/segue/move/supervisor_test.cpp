#include "app/segue/move/supervisor.hpp"

#include <gtest/gtest.h>

namespace segue {
namespace {

Ancestor process(int pid, std::string name, std::vector<std::string> words = {}) {
    Ancestor made;
    made.pid = pid;
    made.name = std::move(name);
    made.words = std::move(words);
    return made;
}
Ancestor script(int pid, std::string text) {
    Ancestor made = process(pid, "run", {"/bin/sh", "./run"});
    made.script = std::move(text);
    return made;
}
const Ancestor qemu = process(100, "qemu-system-x86");
const Ancestor first = process(1, "systemd");

SupervisorView view_of(std::vector<Ancestor> parents) {
    SupervisorView view;
    view.line = std::move(parents);
    view.line.insert(view.line.begin(), qemu);
    return view;
}

std::string finding_of(const SupervisorView& view) {
    const auto verdict = judge_supervisor(view);
    return verdict.finding ? verdict.finding->what + " | " + verdict.finding->remedy : "";
}

TEST(Supervisor, is_none_of_an_orphan_and_of_what_an_operator_started_in_a_terminal) {
    Ancestor bash = process(60, "bash", {"-bash"});
    bash.terminal = true;
    for (const auto& view : {view_of({first}), view_of({bash, process(50, "sshd"), first}),
                             view_of({process(70, "sudo"), bash, first}), view_of({process(1, "init")})}) {
        const auto verdict = judge_supervisor(view);
        EXPECT_FALSE(verdict.finding) << verdict.finding->what;
        EXPECT_EQ(verdict.note, "");
    }
}

TEST(Supervisor, that_is_known_is_found_by_name_also_behind_its_run_script) {
    Ancestor runsv = process(40, "runsv");
    runsv.folder = "/etc/service/web1";
    const Ancestor run = script(50, "qemu-system-x86_64 -m 512\n");
    for (const auto& view : {view_of({runsv, first}), view_of({run, runsv, first})}) {
        const std::string said = finding_of(view);
        EXPECT_NE(said.find("runsv (process 40) would start its QEMU again"), std::string::npos) << said;
        EXPECT_NE(said.find("--on-success 'touch /etc/service/web1/down && sv down /etc/service/web1'"),
                  std::string::npos) << said;
    }
    for (const char* name : {"libvirtd", "virtqemud", "s6-supervise", "supervisord", "containerd-shim"}) {
        EXPECT_NE(finding_of(view_of({process(40, name), first})), "") << name;
    }
    EXPECT_NE(finding_of(view_of({process(1, "supervisord")})), "") << "as the first process of a container";
}

TEST(Supervisor, that_is_a_script_with_a_loop_is_found_and_one_without_is_not) {
    EXPECT_NE(finding_of(view_of({script(50, "while true; do\n  qemu-system-x86_64\ndone"), first})), "");
    EXPECT_NE(finding_of(view_of({script(50, "until qemu; do sleep 1; done"), first})), "");
    EXPECT_EQ(finding_of(view_of({script(50, "# meanwhile\nqemu-system-x86_64 -m 512"), first})), "");
    Ancestor loop = script(50, "while :; do ./vm; done");
    loop.terminal = true;
    EXPECT_NE(finding_of(view_of({script(60, "exec_qemu"), process(55, "sudo"), loop, first})), "") << "further up";
}

TEST(Supervisor, may_be_a_shell_without_a_terminal_that_shows_no_script) {
    EXPECT_NE(finding_of(view_of({process(50, "sh", {"/bin/sh"}), first})), "");
}

TEST(Supervisor, may_be_an_unknown_parent_which_is_only_noted) {
    const auto verdict = judge_supervisor(view_of({process(50, "python3", {"/usr/bin/python3", "vms.py"}), first}));
    EXPECT_FALSE(verdict.finding);
    EXPECT_NE(verdict.note.find("child of python3 (process 50)"), std::string::npos) << verdict.note;
}

TEST(Supervisor, is_a_service_that_systemd_would_start_again) {
    SupervisorView view = view_of({first});
    view.unit = "web1.service";
    for (const char* restart : {"always", "on-failure", "on-abnormal"}) {
        view.service = ServiceFacts{restart, 100};
        const std::string said = finding_of(view);
        EXPECT_NE(said.find(std::string("web1.service has Restart=") + restart), std::string::npos) << said;
        EXPECT_NE(said.find("systemctl disable --now web1.service"), std::string::npos) << said;
    }
    view.service = ServiceFacts{"always", 0};
    EXPECT_NE(finding_of(view), "") << "whose main process is not known";
    view.service = ServiceFacts{"no", 100};
    EXPECT_EQ(finding_of(view), "");
}

TEST(Supervisor, is_no_service_whose_main_process_does_not_wait_for_this_qemu) {
    SupervisorView view = view_of({first});
    view.unit = "ssh.service";
    view.service = ServiceFacts{"on-failure", 50};
    EXPECT_EQ(finding_of(view), "") << "an orphan in it";
    Ancestor bash = process(60, "bash", {"-bash"});
    bash.terminal = true;
    view.line = {qemu, bash, process(50, "sshd"), first};
    EXPECT_EQ(finding_of(view), "") << "a session below it";
    view.line = {qemu, script(60, "qemu"), process(50, "run-vm"), first};
    EXPECT_NE(finding_of(view), "") << "its own script";
}

TEST(Supervisor, is_suspected_where_systemd_cannot_be_asked) {
    SupervisorView view = view_of({first});
    view.unit = "web1.service";
    EXPECT_NE(finding_of(view).find("could not be asked"), std::string::npos);
    view.own_unit = view.unit;
    EXPECT_EQ(finding_of(view), "") << "segue is in it too: no service made for this QEMU";
}

TEST(Supervisor, is_libvirt_or_proxmox_by_their_scopes) {
    SupervisorView view = view_of({first});
    view.unit = "machine-qemu\\x2d1\\x2dweb.scope";
    view.slice = "machine.slice";
    EXPECT_NE(finding_of(view).find("libvirt"), std::string::npos);
    view.unit = "101.scope";
    view.slice = "qemu.slice";
    EXPECT_NE(finding_of(view).find("Proxmox"), std::string::npos);
    view.slice = "user-0.slice";
    EXPECT_EQ(finding_of(view), "");
}

TEST(Supervisor, unit_is_the_innermost_of_the_cgroup) {
    EXPECT_EQ(unit_in("0::/system.slice/web1.service\n").unit, "web1.service");
    EXPECT_EQ(unit_in("0::/system.slice/web1.service\n").slice, "system.slice");
    EXPECT_EQ(unit_in("0::/machine.slice/machine-qemu.scope/libvirt/emulator\n").unit, "machine-qemu.scope");
    EXPECT_EQ(unit_in("0::/user.slice/user-0.slice/user@0.service/tmux.scope\n").unit, "tmux.scope");
    EXPECT_EQ(unit_in("3:cpu:/x\n1:name=systemd:/system.slice/a.service\n0::/\n").unit, "a.service");
    EXPECT_EQ(unit_in("1:name=systemd:/\n0::/b.service/sub\n").unit, "b.service");
    EXPECT_EQ(unit_in("9:name=systemd:/\n0::/\n").unit, "");
    EXPECT_EQ(unit_in("").unit, "");
}

}  // namespace
}  // namespace segue
