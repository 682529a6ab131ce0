#include "app/segue/doctor/doctor.hpp"

#include <algorithm>
#include <cstdio>

#include "app/segue/words/plain_text.hpp"

namespace segue {
namespace {

constexpr int no_problem = 0;
constexpr int problem_found = 1;

}  // namespace

int run_doctor(const DoctorWords& words, const std::string& segue_version) {
    const VmPlaces places = vm_places();
    Checkups found;
    check_guardian(found);
    check_limits_of_guardian(found);
    check_state_folder(places.state_folder, found);
    check_journal(places.state_folder, found);
    check_settings(places, found);
    check_qemu(places, found);
    check_kvm(found);
    check_brake(found);
    check_network(found);
    check_clock(found);
    check_ssh(found);
    if (words.host) check_other_host(*words.host, segue_version, found);
    const std::string other = words.host ? words.host->as_written : "";
    const std::string text =
        words.json ? doctor_json(found, places.host, other) : plain_text_lines(render_doctor(found));
    std::fputs((text + "\n").c_str(), stdout);
    std::fflush(stdout);
    const bool sick = std::ranges::any_of(found, [](const Checkup& each) { return each.verdict == Verdict::problem; });
    return sick ? problem_found : no_problem;
}

}  // namespace segue
